//! Has anything changed for certain? Pure: a cell's state and a round's standing give the next state and perhaps an event.
