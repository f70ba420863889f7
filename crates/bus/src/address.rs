//! Where a bus is: the one form of the specification's addresses that names a socket of this host.

/// Where the bus of the system is, unless somebody says something else.
pub const SYSTEM: &str = "unix:path=/run/dbus/system_bus_socket";

/// A socket of a bus.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// In the file system.
    Path(Vec<u8>),
    /// An abstract name, without the zero before it.
    Abstract(Vec<u8>),
}

/// The first address of a list (`unix:path=/a;unix:abstract=b,guid=…`) that can be a socket's; none where there is none.
#[must_use]
pub fn address(list: &str) -> Option<Address> {
    list.split(';').find_map(|one| {
        let pairs = one.strip_prefix("unix:")?;
        pairs
            .split(',')
            .find_map(|pair| match pair.split_once('=')? {
                ("path", value) => {
                    let path = unescape(value)?;
                    path.starts_with(b"/").then_some(Address::Path(path))
                }
                ("abstract", value) => Some(Address::Abstract(unescape(value)?)),
                _ => None,
            })
    })
}

/// `%2f` is a slash; a zero byte is in no name.
fn unescape(value: &str) -> Option<Vec<u8>> {
    let (mut bytes, mut plain) = (value.bytes(), Vec::new());
    while let Some(byte) = bytes.next() {
        let byte = match byte {
            b'%' => digit(bytes.next()?)? << 4 | digit(bytes.next()?)?,
            byte => byte,
        };
        if byte == 0 {
            return None;
        }
        plain.push(byte);
    }
    (!plain.is_empty()).then_some(plain)
}

fn digit(byte: u8) -> Option<u8> {
    u8::try_from(char::from(byte).to_digit(16)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_socket_of_the_list_counts() {
        let path = |text: &str| Some(Address::Path(text.into()));
        assert_eq!(address(SYSTEM), path("/run/dbus/system_bus_socket"));
        let list = "tcp:host=a,port=1;unix:tmpdir=/tmp;unix:guid=1,path=/a%2fb;unix:path=/c";
        assert_eq!(address(list), path("/a/b"));
        assert_eq!(
            address("unix:abstract=a"),
            Some(Address::Abstract(b"a".into()))
        );
        for none in [
            "",
            "unix:",
            "unix:path=",
            "unix:path=a",
            "unix:path=/%0",
            "unix:path=/%00",
            "unix:path=/%é",
            "unix:path=/%+f",
        ] {
            assert_eq!(address(none), None, "{none}");
        }
    }
}
