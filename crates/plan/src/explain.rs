//! A plan as lines for a human, one per step.
