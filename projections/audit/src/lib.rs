//! Every event, in order.
