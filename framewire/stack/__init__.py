"""The local stack: every server Framewire needs, as child processes in one data folder, on 127.0.0.1.

local.py is the face of it (`LocalStack`), servers.py says what runs, supervisor.py and child.py run it,
and guardian.py keeps the promise that nothing outlives it.
"""
