//! The loop that owns every descriptor: adapters between engine, keeper and clients.
