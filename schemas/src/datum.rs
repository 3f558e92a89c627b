//! Avro's binary encoding, for who knows the fields and their order. What is
//! accepted here is what `serde_avro_fast` accepts of the same types.

/// Items of an array that are made room for before they are read.
const RESERVED: u64 = 16;

/// Why bytes are not the fields they are read as, or fields cannot be bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadDatum {
    #[error("the bytes end within a field")]
    Short,
    #[error("a number does not end, or takes more than 64 bits")]
    Number,
    #[error("a length is negative")]
    Length,
    #[error("a text is not UTF-8")]
    Text,
    #[error("an optional field is neither absent nor present")]
    Branch,
    #[error("a number is out of its range")]
    Range,
    #[error("a boolean is neither false nor true")]
    Boolean,
    #[error("bytes are left over")]
    BytesLeft,
}

pub(crate) struct Reader<'a> {
    rest: &'a [u8],
    /// How `rest` begins, as far as that is known to be UTF-8. Lengths of short
    /// texts are ASCII, so that a run of such texts is checked at once: one by one
    /// it took a quarter of the reading.
    known: &'a str,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(datum: &'a [u8]) -> Self {
        Self {
            rest: datum,
            known: "",
        }
    }

    pub(crate) fn text(&mut self) -> Result<&'a str, BadDatum> {
        let length = self.length()?;
        if length > self.known.len() {
            self.know();
        }
        let known = self.known;
        self.take(length)?;
        known.get(..length).ok_or(BadDatum::Text)
    }

    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], BadDatum> {
        let length = self.length()?;
        self.take(length)
    }

    pub(crate) fn boolean(&mut self) -> Result<bool, BadDatum> {
        match self.take(1)? {
            [0] => Ok(false),
            [1] => Ok(true),
            _ => Err(BadDatum::Boolean),
        }
    }

    /// A long that counts something.
    pub(crate) fn unsigned(&mut self) -> Result<u64, BadDatum> {
        u64::try_from(self.long()?).map_err(|_| BadDatum::Range)
    }

    /// A union of null and something, in this order.
    pub(crate) fn maybe<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, BadDatum>,
    ) -> Result<Option<T>, BadDatum> {
        match self.long()? {
            0 => Ok(None),
            1 => read(self).map(Some),
            _ => Err(BadDatum::Branch),
        }
    }

    /// An array of records of two texts.
    pub(crate) fn pairs(&mut self) -> Result<Vec<(String, String)>, BadDatum> {
        self.array(|from| {
            let (first, second) = (from.text()?, from.text()?);
            Ok((first.to_owned(), second.to_owned()))
        })
    }

    /// An array of texts.
    pub(crate) fn texts(&mut self) -> Result<Vec<String>, BadDatum> {
        self.array(|from| from.text().map(str::to_owned))
    }

    /// Little is reserved for an array: its counts may be lies.
    fn array<T>(
        &mut self,
        mut read: impl FnMut(&mut Self) -> Result<T, BadDatum>,
    ) -> Result<Vec<T>, BadDatum> {
        let mut items = Vec::new();
        loop {
            let count = self.long()?;
            if count == 0 {
                return Ok(items);
            }
            if count < 0 {
                // The size of the block, for readers that skip it.
                self.varint()?;
            }
            let count = count.unsigned_abs();
            items.reserve(count.min(RESERVED) as usize);
            for _ in 0..count {
                items.push(read(self)?);
            }
        }
    }

    pub(crate) fn end(self) -> Result<(), BadDatum> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(BadDatum::BytesLeft)
        }
    }

    fn length(&mut self) -> Result<usize, BadDatum> {
        usize::try_from(self.long()?).map_err(|_| BadDatum::Length)
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], BadDatum> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(BadDatum::Short)?;
        self.rest = rest;
        self.known = self.known.get(length..).unwrap_or_default();
        Ok(taken)
    }

    #[inline(never)]
    fn know(&mut self) {
        let known = match std::str::from_utf8(self.rest) {
            Ok(all) => Ok(all),
            Err(error) => std::str::from_utf8(&self.rest[..error.valid_up_to()]),
        };
        self.known = known.unwrap_or_default();
    }

    fn long(&mut self) -> Result<i64, BadDatum> {
        let zigzag = self.varint()?;
        Ok((zigzag >> 1).cast_signed() ^ -(zigzag & 1).cast_signed())
    }

    fn varint(&mut self) -> Result<u64, BadDatum> {
        // Most numbers are the length of a short text.
        match self.rest.first() {
            Some(byte @ ..0x80) => self.take(1).map(|_| u64::from(*byte)),
            _ => self.long_varint(),
        }
    }

    /// Apart, so that the short way is small enough to be inlined.
    #[inline(never)]
    fn long_varint(&mut self) -> Result<u64, BadDatum> {
        let mut number = 0;
        for (at, byte) in self.rest.iter().enumerate() {
            // The tenth byte holds the last of the 64 bits.
            if at == 9 && *byte > 1 {
                break;
            }
            number |= u64::from(byte & 0x7f) << (7 * at);
            if *byte < 0x80 {
                self.take(at + 1)?;
                return Ok(number);
            }
        }
        Err(BadDatum::Number)
    }
}

pub(crate) struct Writer<'a> {
    datum: &'a mut Vec<u8>,
}

impl<'a> Writer<'a> {
    pub(crate) fn new(datum: &'a mut Vec<u8>) -> Self {
        Self { datum }
    }

    pub(crate) fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.length(bytes.len());
        self.datum.extend_from_slice(bytes);
    }

    /// A union of null and a text, in this order.
    pub(crate) fn maybe_text(&mut self, text: Option<&str>) {
        self.varint(u64::from(text.is_some()) << 1);
        if let Some(text) = text {
            self.text(text);
        }
    }

    /// A union of null and a long that counts something, in this order.
    pub(crate) fn maybe_unsigned(&mut self, number: Option<u64>) -> Result<(), BadDatum> {
        self.varint(u64::from(number.is_some()) << 1);
        number.map_or(Ok(()), |number| self.unsigned(number))
    }

    /// A long that counts something.
    pub(crate) fn unsigned(&mut self, number: u64) -> Result<(), BadDatum> {
        if number > i64::MAX.cast_unsigned() {
            return Err(BadDatum::Range);
        }
        self.varint(number << 1);
        Ok(())
    }

    pub(crate) fn boolean(&mut self, value: bool) {
        self.datum.push(u8::from(value));
    }

    /// An array of texts, in one block.
    pub(crate) fn texts(&mut self, texts: &[String]) {
        if !texts.is_empty() {
            self.length(texts.len());
        }
        for text in texts {
            self.text(text);
        }
        self.length(0);
    }

    /// An array of records of two texts, in one block, without the size that would
    /// let readers skip it.
    pub(crate) fn pairs(&mut self, pairs: &[(String, String)]) {
        if !pairs.is_empty() {
            self.length(pairs.len());
        }
        for (first, second) in pairs {
            self.text(first);
            self.text(second);
        }
        self.length(0);
    }

    /// No slice is longer than a long can say.
    fn length(&mut self, length: usize) {
        self.varint((length as u64) << 1);
    }

    fn varint(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.datum.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.datum.push(number as u8);
    }
}
