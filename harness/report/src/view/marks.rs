//! Combining marks: a few belong to a letter, hundreds of them are a tower that covers the lines above and below.

/// Marks on one letter that are shown; no writing system needs more.
const MOST: usize = 4;

/// Counts the marks on the letter before them.
#[derive(Debug, Default)]
pub(super) struct Marks {
    met: usize,
}

impl Marks {
    /// Whether a character is shown: no mark, or one of the first on its letter.
    pub(super) fn shows(&mut self, c: char) -> bool {
        if !is_combining(c) {
            self.met = 0;
            return true;
        }
        self.met += 1;
        self.met <= MOST
    }

    /// What is said of the marks that were not shown, once `next` or the end follows them.
    pub(super) fn left_out_before(&self, next: Option<char>) -> Option<String> {
        let ends = next.is_none_or(|next| !is_combining(next));
        (ends && self.met > MOST).then(|| format!("⟨{} more marks⟩", self.met - MOST))
    }
}

/// The blocks of marks that stand above, below or across the letter before them.
fn is_combining(c: char) -> bool {
    matches!(c,
        '\u{300}'..='\u{36f}' | '\u{483}'..='\u{489}' | '\u{591}'..='\u{5bd}' | '\u{610}'..='\u{61a}'
        | '\u{64b}'..='\u{65f}' | '\u{6d6}'..='\u{6dc}' | '\u{6df}'..='\u{6e4}' | '\u{e31}' | '\u{e34}'..='\u{e3a}'
        | '\u{e47}'..='\u{e4e}' | '\u{1ab0}'..='\u{1aff}' | '\u{1dc0}'..='\u{1dff}' | '\u{20d0}'..='\u{20ff}'
        | '\u{3099}' | '\u{309a}' | '\u{fe20}'..='\u{fe2f}')
}
