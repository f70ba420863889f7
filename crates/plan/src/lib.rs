//! A typed unit and facts to a spawn plan, pure.
