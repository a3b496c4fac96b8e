"""The smart cut: whole groups of pictures are copied, and only what lies around a cut is encoded again.

look over the film ──> plan ──┬── copied packets ──────┬──> one track of pictures ──> result ──> proof
                              └── encoded anew, threads ┘          sound, texts ──────^
"""
