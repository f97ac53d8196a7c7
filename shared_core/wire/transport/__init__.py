"""Our transport under httpx: pools of HTTP/1.1 connections with real deadlines.

Why not httpx's own pool: it looks through all connections and waiters for every request
(1,000 calls at once cost 46 times the CPU, see ``benchmarks/transport.py``), deadlocks when the
garbage collector closes a response while its lock is held, loses slots when a task is
cancelled twice, serves one event loop only, and times each socket operation instead of the
call.

Layers, from the bytes up:

* ``http1``: framing without I/O; ``route``: addresses and proxies; ``faults``: what can go wrong;
* ``sync_connection`` / ``async_connection``: one socket;
* ``sync_pool`` / ``async_pool``: acquiring and releasing in constant time, and the transports:
  subclasses of ``httpx.HTTPTransport`` / ``httpx.AsyncHTTPTransport`` that only replace the
  pool, so that whatever patches or records httpx still sees every request.

Rules: releasing never waits and takes no lock; a connection that is not provably at the end of
its answer is closed, not reused; one call is one request, nothing is repeated here.
"""
