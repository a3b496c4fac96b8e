"""The life of jobs as pure logic: a seed is a schedule of steps and faults, and one thread plays it without waiting.

What is real: the worker's journal, run and settlement, the gateway's relay and recorder, the rules of folding, the
watcher's reading of the log, and the bus in memory. What is modelled: the wires between them, where every call may be
lost on its way there or back, the object store, the rows of the database, and time.
"""
