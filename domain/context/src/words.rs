//! How a text falls into words, and what kind of word each is.

/// What may stand around a word without being part of it.
const AROUND: &[char] = &[
    '.', ',', ';', ':', '!', '?', '(', ')', '[', ']', '{', '}', '<', '>', '"', '\'', '`', '“', '”',
    '„', '‘', '’', '«', '»', '…', '#', '*', '_', '/', '\\', '|', '=', '~', '。', '，', '、', '！',
    '？', '；', '：', '（', '）', '「', '」', '–', '—',
];

const CURRENCY_SIGNS: &[char] = &['€', '$', '£', '¥', '₹', '₽', '₩', '₺', '₴', '₿', '¢'];

/// Currencies and units as people type them, beside codes of three capitals.
const UNITS: &[&str] = &[
    "%", "percent", "prozent", "eur", "euro", "euros", "usd", "dollar", "dollars", "gbp", "pound",
    "pounds", "chf", "franken", "francs", "jpy", "yen", "cny", "cent", "cents", "kg", "g", "km",
    "m", "cm", "mm", "h", "min", "hours", "days", "weeks", "months", "years", "stunden", "tage",
];

const NUMBER_WORDS: &[&str] = &[
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
    "twenty",
    "thirty",
    "forty",
    "fifty",
    "sixty",
    "seventy",
    "eighty",
    "ninety",
    "hundred",
    "thousand",
    "million",
    "billion",
    "dozen",
    "half",
    "once",
    "twice",
    "thrice",
    "double",
    "triple",
    "first",
    "second",
    "third",
    "both",
    "null",
    "ein",
    "eins",
    "zwei",
    "drei",
    "vier",
    "fünf",
    "sechs",
    "sieben",
    "acht",
    "neun",
    "zehn",
    "elf",
    "zwölf",
    "zwanzig",
    "hundert",
    "tausend",
    "einmal",
    "zweimal",
    "dreimal",
    "doppelt",
    "deux",
    "trois",
    "quatre",
    "cinq",
    "sept",
    "huit",
    "neuf",
    "dix",
    "cent",
    "mille",
    "fois",
    "dos",
    "tres",
    "cuatro",
    "cinco",
    "seis",
    "siete",
    "ocho",
    "nueve",
    "diez",
    "cien",
    "mil",
];

const NEGATIONS: &[&str] = &[
    "no", "not", "never", "none", "nobody", "nothing", "nowhere", "neither", "nor", "without",
    "cannot", "isnt", "dont", "doesnt", "didnt", "wont", "cant", "wasnt", "hasnt", "havent",
    "nicht", "nichts", "nie", "niemals", "niemand", "ohne", "weder", "kein", "keine", "keinen",
    "keinem", "keiner", "keines", "ne", "pas", "jamais", "aucun", "aucune", "sans", "rien",
    "nunca", "sin", "ningún", "ninguno", "ninguna", "jamás", "nada", "tampoco", "non", "não",
    "niet", "geen", "不", "没", "無", "无", "未", "非", "別", "别",
];

/// The words of a text, in order, without what stands around them. Where words
/// are not divided by spaces, each ideograph is a word.
pub(crate) fn tokens(text: &str) -> Vec<&str> {
    let mut tokens = Vec::new();
    for chunk in text.split_whitespace() {
        let mut begin = 0;
        for (at, c) in chunk.char_indices() {
            if is_ideograph(c) {
                push(&mut tokens, &chunk[begin..at]);
                begin = at + c.len_utf8();
                push(&mut tokens, &chunk[at..begin]);
            }
        }
        push(&mut tokens, &chunk[begin..]);
    }
    tokens
}

fn push<'a>(tokens: &mut Vec<&'a str>, chunk: &'a str) {
    let token = chunk.trim_matches(AROUND);
    if !token.is_empty() {
        tokens.push(token);
    }
}

fn is_ideograph(c: char) -> bool {
    matches!(c, '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{9fff}' | '\u{f900}'..='\u{faff}')
}

/// The number a token is, in one spelling: no grouping, a point before the
/// decimals, no zeros at their end, a currency sign kept in front. None when the
/// token is not only a number.
pub(crate) fn number(token: &str) -> Option<String> {
    let sign_in_front = token.strip_prefix(['-', '−']);
    let unsigned = sign_in_front.unwrap_or_else(|| token.strip_prefix('+').unwrap_or(token));
    let (mark, digits) = match unsigned.strip_prefix(CURRENCY_SIGNS) {
        Some(rest) => (&unsigned[..unsigned.len() - rest.len()], rest),
        None => match unsigned.strip_suffix(CURRENCY_SIGNS) {
            Some(rest) => (&unsigned[rest.len()..], rest),
            None => match unsigned.strip_suffix('%') {
                Some(rest) => ("%", rest),
                None => ("", unsigned),
            },
        },
    };
    if !digits.starts_with(|c: char| c.is_ascii_digit())
        || !digits.ends_with(|c: char| c.is_ascii_digit())
        || !digits
            .chars()
            .all(|c| c.is_ascii_digit() || matches!(c, '.' | ',' | '\''))
    {
        return None;
    }
    let sign = if sign_in_front.is_some() { "-" } else { "" };
    Some(format!("{sign}{mark}{}", plain(digits)))
}

/// Digits with separators in one spelling. A lone separator before exactly three
/// digits may be either kind, so such a number stays as it was written.
fn plain(digits: &str) -> String {
    let points = digits.matches('.').count();
    let commas = digits.matches(',').count();
    let decimal = match (points, commas) {
        (0, 0) => None,
        (1, 0) | (0, 1) => {
            let at = digits.find(['.', ',']);
            if at.is_some_and(|at| digits.len() - at - 1 == 3) {
                return digits.to_owned();
            }
            at
        }
        (_, 0) | (0, _) => None,
        // The separator that comes last divides the decimals.
        _ => digits.rfind(['.', ',']),
    };
    let (whole, decimals) = match decimal {
        Some(at) => (&digits[..at], digits[at + 1..].trim_end_matches('0')),
        None => (digits, ""),
    };
    let whole: String = whole.chars().filter(char::is_ascii_digit).collect();
    if decimals.is_empty() {
        whole
    } else {
        format!("{whole}.{decimals}")
    }
}

/// Whether a token, beside a number, says what it counts.
pub(crate) fn is_unit(token: &str) -> bool {
    (token.len() == 3 && token.bytes().all(|b| b.is_ascii_uppercase()))
        || UNITS.contains(&token.to_lowercase().as_str())
        || (token.chars().count() == 1 && token.starts_with(CURRENCY_SIGNS))
}

pub(crate) fn is_number_word(lower: &str) -> bool {
    NUMBER_WORDS.contains(&lower)
}

/// Whether a token names one particular thing: it has a digit in it, or is an
/// address or a link.
pub(crate) fn is_identifier(token: &str) -> bool {
    token.chars().any(char::is_numeric)
        || token.contains('@')
        || token.contains("://")
        || token.to_ascii_lowercase().starts_with("www.")
}

pub(crate) fn is_negation(lower: &str) -> bool {
    NEGATIONS.contains(&lower)
        || lower.ends_with("n't")
        || lower.ends_with("n’t")
        || lower.starts_with("n'")
        || lower.starts_with("n’")
}
