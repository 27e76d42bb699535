//! Tables of plain text: cells stand under each other whatever their characters are wide, and what is too wide is cut in its
//! middle, never wrapped. Which columns there are, and which are left out first, is for each table to say.

use console::measure_text_width;

/// Between two columns.
pub(crate) const GAP: &str = "  ";

/// A cell on its line.
pub(crate) struct Cell {
    /// What stands in it; colours take no room.
    pub(crate) text: String,
    /// The width of its column.
    pub(crate) width: usize,
    /// Numbers end at the same place, words begin there.
    pub(crate) is_number: bool,
}

/// The widest of some texts.
pub(crate) fn widest<'a>(texts: impl Iterator<Item = &'a String>) -> usize {
    texts.map(|text| measure_text_width(text)).max().unwrap_or(0)
}

/// The cells of a line beside each other; nothing stands behind the last.
pub(crate) fn line(cells: impl Iterator<Item = Cell>) -> String {
    let padded = cells.map(|cell| {
        let padding = " ".repeat(cell.width.saturating_sub(measure_text_width(&cell.text)));
        match cell.is_number {
            true => padding + &cell.text,
            false => cell.text + &padding,
        }
    });
    padded.collect::<Vec<_>>().join(GAP).trim_end().to_owned()
}

/// The text, with its middle left out where it is wider than `most`: both ends of a name tell it from others.
pub(crate) fn cut(text: &str, most: usize, ellipsis: &str) -> String {
    if measure_text_width(text) <= most {
        return text.to_owned();
    }
    let Some(room) = most.checked_sub(measure_text_width(ellipsis)) else {
        return ellipsis.chars().take(most).collect();
    };
    let taken = |characters: &mut dyn Iterator<Item = char>, room: usize| -> String {
        let mut taken = String::new();
        for c in characters {
            taken.push(c);
            if measure_text_width(&taken) > room {
                taken.pop();
                break;
            }
        }
        taken
    };
    let head = taken(&mut text.chars(), room.div_ceil(2));
    let tail = taken(&mut text.chars().rev(), room / 2);
    let tail: String = tail.chars().rev().collect();
    format!("{head}{ellipsis}{tail}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_names_keep_both_ends_and_wide_characters_count_twice() {
        assert_eq!(cut("placement-a-with-a-long-name", 12, "…"), "placem…-name");
        assert_eq!(cut("placement-a-with-a-long-name", 12, "..."), "place...name");
        assert_eq!(cut("配置配置配置配置", 9, "…"), "配置…配置");
        assert_eq!(cut("short", 12, "…"), "short");
        assert_eq!(cut("short", 2, "..."), "..");
    }

    #[test]
    fn colours_take_no_room() {
        let red = console::Style::new()
            .red()
            .force_styling(true)
            .apply_to("a")
            .to_string();
        let cell = |text: &str, is_number| Cell {
            text: text.to_owned(),
            width: 3,
            is_number,
        };
        let line = line([cell(&red, true), cell("b", false)].into_iter());
        assert_eq!(console::strip_ansi_codes(&line), "  a  b");
    }

    proptest::proptest! {
        #[test]
        fn a_cut_text_fits(text in "\\PC{0,60}", most in 0_usize..40) {
            for ellipsis in ["…", "..."] {
                proptest::prop_assert!(measure_text_width(&cut(&text, most, ellipsis)) <= most);
            }
        }
    }
}
