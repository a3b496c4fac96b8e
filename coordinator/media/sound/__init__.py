"""Sound by an edit list: cut to the sample, faded at joins, sped up with its pitch kept, and encoded again."""
