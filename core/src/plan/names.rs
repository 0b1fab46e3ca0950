//! Names of operators. Those of neighbours begin alike (`block0/mixer/..`), so each is stored as what it has in common with the
//! one before it, and the rest.

use super::cursor::Cursor;

/// A name of an operator, from that of the operator before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Name<'p> {
    /// Bytes that it begins with, those of the name before it; none for the first.
    pub shared: usize,
    /// What follows them.
    pub rest: &'p str,
}

/// The names of a section, up to the first that is broken.
pub(super) fn names(section: &[u8]) -> impl Iterator<Item = Name<'_>> + use<'_> {
    let mut cursor = Cursor::new(section);
    core::iter::from_fn(move || {
        if cursor.is_empty() {
            return None;
        }
        let shared = cursor.u32() as usize;
        cursor.text().map(|rest| Name { shared, rest })
    })
}

/// Whether a section names all of `operators`, or nothing.
#[cfg(not(target_os = "none"))]
pub(super) fn valid(section: &[u8], operators: usize) -> bool {
    let (mut cursor, mut before) = (Cursor::new(section), 0);
    for _ in 0..operators {
        let shared = cursor.u32() as usize;
        let Some(rest) = cursor.text().filter(|_| shared <= before) else { return section.is_empty() };
        before = shared + rest.len();
    }
    cursor.finished()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_operators_have_a_name_or_none() {
        let two = b"\x00\x03a/b\x02\x01c";
        assert!(valid(two, 2) && valid(&[], 2));
        assert!(!valid(two, 1) && !valid(two, 3));
        // More in common than there is; cut off; not UTF-8.
        for section in [&b"\x01\x01a"[..], b"\x00\x02a", b"\x00\x01\xFF", b"\x00"] {
            assert!(!valid(section, 1), "{section:?}");
        }
        let mut found = names(two);
        assert_eq!(found.next(), Some(Name { shared: 0, rest: "a/b" }));
        assert_eq!(found.next(), Some(Name { shared: 2, rest: "c" }));
        assert_eq!(found.next(), None);
    }
}
