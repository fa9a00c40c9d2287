"""JSON-RPC: the node's face to wallets, tools and programs, over HTTP and WebSocket on one port.

`server` owns the thread and the socket, `http` and `websocket` speak the two transports, `dispatch`
is JSON-RPC 2.0, `arguments` parses typed parameters, `methods_*` answer, `encode` renders blocks,
transactions, receipts and logs as go-ethereum does, `errors` is the one table from our error tree
to codes. Reads come from the immutable view of the last committed block and never enter the
node's trio thread; only `NodeApi.submit` does.
"""
