//! Nicknames that look different if they are different.

use unicode_normalization::UnicodeNormalization as _;

/// Returns a name in its composed form (NFC), without spaces around it. Returns `None` if the name is empty, has more
/// than `most` characters, or contains an invisible character, with which two different names would look the same.
pub(crate) fn normalized(nick: &str, most: usize) -> Option<String> {
    // Variation selectors choose between the text form and the coloured form of a symbol. Keyboards add them.
    let is_style = |letter: &char| matches!(letter, '\u{FE0E}' | '\u{FE0F}');
    let nick: String = nick.trim().chars().filter(|letter| !is_style(letter)).nfc().collect();
    let length = nick.chars().count();
    let is_name = (1..=most).contains(&length) && !nick.chars().any(is_invisible);
    is_name.then_some(nick)
}

/// Returns a text that is the same for all spellings of one name: upper and lower case, composed and decomposed
/// characters, and variants of one character, such as full width.
#[must_use]
pub fn fold(nick: &str) -> String {
    let lower: String = nick.nfkc().flat_map(char::to_lowercase).collect();
    lower.nfkc().collect()
}

/// Returns `true` if a character has no visible form: control characters, white space except the ordinary space,
/// default ignorable characters of Unicode (zero width, direction, soft hyphen, fillers, variation selectors, tags),
/// and the blank Braille pattern.
pub(crate) fn is_invisible(letter: char) -> bool {
    letter.is_control()
        || (letter.is_whitespace() && letter != ' ')
        || matches!(letter,
            '\u{AD}' | '\u{34F}' | '\u{61C}' | '\u{115F}'..='\u{1160}' | '\u{17B4}'..='\u{17B5}'
            | '\u{180B}'..='\u{180F}' | '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2060}'..='\u{206F}'
            | '\u{2800}' | '\u{3164}' | '\u{FE00}'..='\u{FE0F}' | '\u{FEFF}' | '\u{FFA0}' | '\u{FFF0}'..='\u{FFFB}'
            | '\u{1BCA0}'..='\u{1BCA3}' | '\u{1D173}'..='\u{1D17A}' | '\u{E0000}'..='\u{E0FFF}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_an_invisible_character_is_refused() {
        for letter in [
            '\0',
            '\n',
            '\u{7F}',
            '\u{85}',
            '\u{A0}',
            '\u{AD}',
            '\u{34F}',
            '\u{61C}',
            '\u{115F}',
            '\u{1160}',
            '\u{180E}',
            '\u{200B}',
            '\u{200C}',
            '\u{200D}',
            '\u{200E}',
            '\u{200F}',
            '\u{2028}',
            '\u{202A}',
            '\u{202E}',
            '\u{2060}',
            '\u{2066}',
            '\u{2069}',
            '\u{2800}',
            '\u{3000}',
            '\u{3164}',
            '\u{FE01}',
            '\u{FEFF}',
            '\u{FFA0}',
            '\u{FFF9}',
            '\u{E0041}',
            '\u{E0100}',
        ] {
            assert_eq!(normalized(&format!("An{letter}n"), 24), None, "U+{:04X}", u32::from(letter));
            // Only white space is removed around a name.
            let around = normalized(&format!("{letter}Ann{letter}"), 24);
            assert_eq!(around.is_some(), letter.is_whitespace(), "U+{:04X}", u32::from(letter));
        }
        for name in ["Ann", "Ann Lee", "Zoë", "李雷", "Ольга", "عمر", "O'Neil-2", "👍", "ที่"]
        {
            assert_eq!(normalized(name, 24).as_deref(), Some(name));
        }
        assert_eq!(normalized("❤\u{FE0F}", 24).as_deref(), Some("❤"));
    }

    #[test]
    fn the_length_of_a_name_is_counted_in_its_composed_form() {
        assert_eq!(normalized("  ", 3), None);
        assert_eq!(normalized("\u{FE0F}", 3), None);
        assert_eq!(normalized("abcd", 3), None);
        assert_eq!(normalized(" e\u{301}e\u{301}e\u{301} ", 3).as_deref(), Some("ééé"));
    }

    #[test]
    fn all_spellings_of_a_name_fold_to_the_same_text() {
        for (one, other) in [
            ("Zoe\u{308}", "ZOË"),
            ("José", "Jose\u{301}"),
            ("한", "\u{1112}\u{1161}\u{11AB}"),
            ("Ａｎｎ", "ann"),
            ("\u{212B}sa", "\u{E5}sa"),
            ("ﬁn", "FIN"),
        ] {
            assert_eq!(fold(one), fold(other), "{one} and {other}");
            assert_eq!(fold(&fold(one)), fold(one));
        }
        for (one, other) in [("Ann", "Anne"), ("Zoe", "Zoë"), ("I", "l")] {
            assert_ne!(fold(one), fold(other));
        }
    }
}
