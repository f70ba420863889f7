//! What passes the gate and what does not.
