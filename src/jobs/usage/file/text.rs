//! The text of a file that a spreadsheet, a database or a program has written: one encoding, one
//! kind of line end, one separator.

use std::io::{self, BufRead, BufReader, Cursor, Read};

use encoding_rs_io::{DecodeReaderBytes, DecodeReaderBytesBuilder};

/// Separators that files have, the usual one first.
const SEPARATORS: [u8; 4] = [b',', b';', b'\t', b'|'];
/// As much of a line is looked at to find the separator, in bytes.
const LOOKED_AT: u64 = 64 * 1024;

/// The text, from the heading on.
pub(super) type Text<R> = io::Chain<Cursor<Vec<u8>>, BufReader<Normalized<R>>>;

/// A file that was opened.
pub(super) struct Opened<R> {
    pub(super) text: Text<R>,
    pub(super) separator: u8,
    /// Lines before the heading: empty ones, and the one in which Excel names the separator.
    pub(super) lines_before: u64,
}

/// Opens a file: UTF-8, or UTF-16 with a byte order mark.
pub(super) fn open<R: Read>(file: R) -> io::Result<Opened<R>> {
    let decoded = DecodeReaderBytesBuilder::new().utf8_passthru(true).strip_bom(true).build(file);
    let normalized = Normalized { inner: decoded, last: b'\n', has_ended: false };
    let mut reader = BufReader::with_capacity(1 << 16, normalized);
    let (mut named, mut lines_before) = (None, 0);
    loop {
        let mut line = Vec::new();
        reader.by_ref().take(LOOKED_AT).read_until(b'\n', &mut line)?;
        if line.ends_with(b"\n") && line.trim_ascii().is_empty() {
            lines_before += 1;
        } else if let Some(separator) = named_in(&line).filter(|_| named.is_none()) {
            named = Some(separator);
            lines_before += 1;
        } else {
            let separator = named.unwrap_or_else(|| separator_of(&line));
            return Ok(Opened { text: Cursor::new(line).chain(reader), separator, lines_before });
        }
    }
}

/// The separator that a line `sep=;` names.
fn named_in(line: &[u8]) -> Option<u8> {
    match line.strip_suffix(b"\n")? {
        [word @ .., separator] if word.eq_ignore_ascii_case(b"sep=") => Some(*separator),
        _ => None,
    }
}

/// The separator that a heading has most of, outside of quotes.
fn separator_of(heading: &[u8]) -> u8 {
    let mut is_quoted = false;
    let mut counts = [0_usize; SEPARATORS.len()];
    for byte in heading {
        is_quoted ^= *byte == b'"';
        let place = SEPARATORS.iter().position(|separator| separator == byte);
        if let Some(place) = place.filter(|_| !is_quoted) {
            counts[place] += 1;
        }
    }
    // Of equals the first.
    let most = (0..SEPARATORS.len()).rev().max_by_key(|place| counts[*place]);
    most.map_or(SEPARATORS[0], |place| SEPARATORS[place])
}

/// Text whose lines all end with a line feed, the last one, too.
pub(super) struct Normalized<R> {
    inner: DecodeReaderBytes<R, Vec<u8>>,
    /// The byte before, as it was read.
    last: u8,
    has_ended: bool,
}

impl<R> Normalized<R> {
    /// Has somebody asked for more than there is?
    pub(super) fn has_ended(&self) -> bool {
        self.has_ended
    }
}

impl<R: Read> Read for Normalized<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = self.inner.read(buffer)?;
            if read == 0 {
                let is_open = !matches!(self.last, b'\n' | b'\r');
                if let Some(first) = buffer.first_mut().filter(|_| is_open) {
                    (*first, self.last) = (b'\n', b'\n');
                    return Ok(1);
                }
                self.has_ended = true;
                return Ok(0);
            }
            let mut kept = 0;
            for place in 0..read {
                let byte = buffer[place];
                let before = std::mem::replace(&mut self.last, byte);
                if (before, byte) == (b'\r', b'\n') {
                    continue;
                }
                buffer[kept] = if byte == b'\r' { b'\n' } else { byte };
                kept += 1;
            }
            if kept > 0 {
                return Ok(kept);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives one byte at a time: no pair of bytes is ever read together.
    struct Slowly<'a>(&'a [u8]);

    impl Read for Slowly<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let (Some((byte, rest)), Some(first)) = (self.0.split_first(), buffer.first_mut())
            else {
                return Ok(0);
            };
            (*first, self.0) = (*byte, rest);
            Ok(1)
        }
    }

    fn read(bytes: &[u8]) -> (String, char, u64) {
        let Opened { mut text, separator, lines_before } = open(Slowly(bytes)).unwrap();
        let mut all = String::new();
        text.read_to_string(&mut all).unwrap();
        (all, char::from(separator), lines_before)
    }

    #[test]
    fn every_line_ends_with_a_line_feed() {
        for text in ["a,b\nc,d\n", "a,b\r\nc,d\r\n", "a,b\rc,d\r", "a,b\nc,d", "a,b\r\nc,d"] {
            assert_eq!(read(text.as_bytes()), ("a,b\nc,d\n".to_owned(), ',', 0), "{text:?}");
        }
        assert_eq!(read(b""), (String::new(), ',', 0));
        assert_eq!(read(b"\r\n\n a\r\n"), (" a\n".to_owned(), ',', 2));
    }

    #[test]
    fn marks_and_utf_16_are_read() {
        let text = "org;\u{e4}\n";
        let little = text.encode_utf16().flat_map(u16::to_le_bytes);
        let big = text.encode_utf16().flat_map(u16::to_be_bytes);
        for bytes in [
            text.as_bytes().to_vec(),
            [b"\xef\xbb\xbf", text.as_bytes()].concat(),
            [0xff, 0xfe].into_iter().chain(little).collect(),
            [0xfe, 0xff].into_iter().chain(big).collect(),
        ] {
            assert_eq!(read(&bytes), (text.to_owned(), ';', 0), "{bytes:?}");
        }
    }

    #[test]
    fn the_separator_is_the_one_that_the_heading_has_most_of() {
        for (text, separator) in [
            ("org", ','),
            ("org,feature", ','),
            ("org\tfeature;\tquantity", '\t'),
            ("\"org;,;\",feature", ','),
            ("org|feature", '|'),
        ] {
            assert_eq!(read(text.as_bytes()).1, separator, "{text}");
        }
        assert_eq!(read(b"SEP=;\r\norg,feature"), ("org,feature\n".to_owned(), ';', 1));
        assert_eq!(read(b"sep=\t\norg\n"), ("org\n".to_owned(), '\t', 1));
    }
}
