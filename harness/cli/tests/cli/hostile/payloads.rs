//! What strangers write.

/// A word that is in every one of them, so that a test can see that they have arrived.
pub(crate) const MARK: &str = "mark";

/// Each is short enough for the names of files, and to be shown whole.
pub(crate) const PAYLOADS: &[&str] = &[
    "mark<script>alert(1)</script>",
    "mark\"onmouseover=alert(1) x='",
    "mark]]><![CDATA[--><!-- <img src=x onerror=alert(1)>",
    "mark</style></title></text></svg><svg onload=alert(1)>",
    "mark{{7*7}}{% for x in y %}",
    "\u{1b}[2Jmark\u{1b}]0;title\u{7}\u{1b}]8;;http://x\u{1b}\\",
    "mark\u{9b}31m\u{90}q\u{9d}0;x\u{9c}",
    "mark\u{202e}cod.exe\u{2066}\u{200f}",
    "mark\u{200b}\u{2060}\u{feff}\u{ad}\u{e0041}\u{fffe}",
    "mark\r\n::error file=x::y\n::set-output name=a::b",
    "::add-mask::mark ##[error]x ##vso[task.setvariable]y",
    "\n\r\n  ::stop-commands::mark%0A%0D",
    "=cmd|'mark'!A0",
    "+1+mark",
    "-1+mark;=2+3",
    "@SUM(mark)\t=1",
    "\t=mark",
    "mark|a|b\n| --- |\n# h\n[l](javascript:alert(1)) @all #1 `c`",
    "../../etc/mark",
    "..\\..\\mark:CON",
    "mark\0nul",
    "mark\u{7f}\u{85}\u{2028}\u{2029}",
    "mark''\"\"``$(id)${PATH}\\",
];
