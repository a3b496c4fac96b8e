"""Media files: look inside, decode, encode, compare. The only place that knows PyAV."""
