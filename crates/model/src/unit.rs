//! A unit as a sparse record: only what differs from the defaults.

use crate::{
    UnitKind, UnitName,
    directive::{Directive, Key},
    value::{Setting, Value},
};

/// A typed unit. Values are kept sorted by directive; what is not there has its default.
#[derive(Debug, Clone)]
pub struct Unit {
    name: UnitName,
    values: Vec<(Directive, Value)>,
    /// The kind of each address in the order of the lines; empty but for sockets.
    listen_order: Vec<Directive>,
}

/// Two units are equal that do the same, whatever lines were taken back on the way.
impl PartialEq for Unit {
    fn eq(&self, other: &Unit) -> bool {
        self.name == other.name && self.values == other.values && self.listens() == other.listens()
    }
}

impl Unit {
    /// Makes a unit that sets nothing.
    pub fn new(name: UnitName) -> Unit {
        Unit {
            name,
            values: Vec::new(),
            listen_order: Vec::new(),
        }
    }

    /// Its name.
    pub fn name(&self) -> &UnitName {
        &self.name
    }

    /// The same under another name.
    #[must_use]
    pub fn renamed(&self, name: UnitName) -> Unit {
        Unit {
            name,
            ..self.clone()
        }
    }

    /// Its kind.
    pub fn kind(&self) -> UnitKind {
        self.name.kind()
    }

    /// The value of a key, `None` when it is not set.
    pub fn get<T: Setting>(&self, key: &Key<T>) -> Option<&T> {
        T::from_value(self.raw(key.directive())?)
    }

    /// The value of a key, or the key's default.
    pub fn value<T: Setting>(&self, key: &Key<T>) -> T {
        self.get(key).cloned().unwrap_or_else(|| key.default())
    }

    /// Whether a key is set.
    pub fn is_set(&self, directive: Directive) -> bool {
        self.raw(directive).is_some()
    }

    /// Sets a key.
    pub fn set<T: Setting>(&mut self, key: &Key<T>, value: T) {
        self.set_raw(key.directive(), value.into_value());
    }

    /// Returns the key to its default.
    pub fn unset(&mut self, directive: Directive) -> Option<Value> {
        let at = self.place(directive).ok()?;
        Some(self.values.remove(at).1)
    }

    /// The untyped value of a directive.
    pub fn raw(&self, directive: Directive) -> Option<&Value> {
        let at = self.place(directive).ok()?;
        self.values.get(at).map(|(_, value)| value)
    }

    /// Sets a directive to an untyped value; the caller answers for the type (the table does, through its value types).
    pub fn set_raw(&mut self, directive: Directive, value: Value) {
        match self.place(directive) {
            Ok(at) => {
                if let Some(entry) = self.values.get_mut(at) {
                    entry.1 = value;
                }
            }
            Err(at) => self.values.insert(at, (directive, value)),
        }
    }

    /// Notes that a line added an address to one of the `Listen…=` lists.
    pub fn note_listen(&mut self, directive: Directive) {
        self.listen_order.push(directive);
    }

    /// Takes back all addresses of the unit.
    pub fn clear_listens(&mut self) {
        self.listen_order.clear();
        self.values
            .retain(|(directive, _)| !crate::listen::LISTENS.contains(directive));
    }

    /// The kinds of the addresses in the order of the lines; it may tell of more than there are.
    pub fn listen_order(&self) -> &[Directive] {
        &self.listen_order
    }

    /// The set values, by directive.
    pub fn iter(&self) -> impl Iterator<Item = (Directive, &Value)> {
        self.values
            .iter()
            .map(|(directive, value)| (*directive, value))
    }

    /// How many values are set.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether nothing is set.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Gives back the memory that growing reserved; for units that stay.
    pub fn shrink_to_fit(&mut self) {
        self.values.shrink_to_fit();
        self.listen_order.shrink_to_fit();
    }

    fn place(&self, directive: Directive) -> Result<usize, usize> {
        self.values
            .binary_search_by_key(&directive, |(known, _)| *known)
    }
}
