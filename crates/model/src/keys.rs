//! How the list of directives becomes typed keys.

macro_rules! keys {
    ($($key:ident: $type:ty = $room:ident $name:literal $(, $default:expr)?;)*) => {
        #[allow(
            non_camel_case_types,
            clippy::upper_case_acronyms,
            reason = "the places are named as the keys are"
        )]
        #[repr(u16)]
        enum Place { $($key),* }

        /// The names with their rooms, in the order of the directives' numbers.
        pub const NAMES: &[(&str, Room)] = &[$(($name, Room::$room)),*];

        /// What a unit has that doesn't set a directive, in the order of the directives' numbers.
        pub static DEFAULTS: &[fn() -> Value] = &[$(|| $key.default().into_value()),*];

        $(
            #[doc = concat!("`", $name, "=`, room ", stringify!($room), ".")]
            pub const $key: Key<$type> = Key::new(Directive::at(Place::$key as u16), keys!(@default $($default)?));
        )*
    };
    (@default $default:expr) => { || $default };
    (@default) => { Default::default };
}
