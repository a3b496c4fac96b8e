"""The REST wire: addresses and JSON made from the contract's annotations."""
