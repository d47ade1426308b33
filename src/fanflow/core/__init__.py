"""Pure rules of the dataflow: events in, effects out; no threads, sockets, processes or clocks."""
