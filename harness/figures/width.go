package figures

import "github.com/mattn/go-runewidth"

// columns measures as terminals draw, whatever the locale: Chinese characters take two
// columns, accents that are characters of their own none.
var columns = &runewidth.Condition{StrictEmojiNeutral: true}

// Width returns how many columns of a terminal a text takes.
func Width(text string) int { return columns.StringWidth(text) }

// Cut returns a text that takes at most so many columns: one that is longer ends in "…".
func Cut(text string, width int) string { return columns.Truncate(text, width, "…") }
