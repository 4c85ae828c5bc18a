package main

import (
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
)

// wholeToken matches an issued token: prefix, ID, then secret and checksum.
var wholeToken = regexp.MustCompile(`(kat_[a-z2-7]{16}_)([0-9A-Za-z]{49})`)

// mask keeps the ID of each token in text, which is no secret, and hides the
// rest.
func mask(text string) string {
	return wholeToken.ReplaceAllString(text, "${1}"+strings.Repeat("*", 8))
}

// screen writes what a person sees. Nothing reaches it unmasked.
type screen struct {
	out    io.Writer
	colour bool
}

func newScreen(file *os.File) *screen {
	info, err := file.Stat()
	terminal := err == nil && info.Mode()&os.ModeCharDevice != 0
	return &screen{out: file, colour: terminal && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"}
}

const (
	bold  = "\x1b[1m"
	green = "\x1b[32m"
	faint = "\x1b[2m"
	reset = "\x1b[0m"
)

func (s *screen) paint(style, text string) string {
	if !s.colour {
		return text
	}
	return style + text + reset
}

func (s *screen) title(number int, text string) {
	s.line("\n" + s.paint(bold, fmt.Sprintf("%d. %s", number, text)))
}

func (s *screen) command(text string) { s.line(s.paint(green, "$ ") + text) }

func (s *screen) held(text string) { s.line(s.paint(faint, "# "+text)) }

func (s *screen) output(text string) {
	if text = strings.TrimRight(text, "\n"); text != "" {
		s.line(text)
	}
}

func (s *screen) line(text string) { _, _ = fmt.Fprintln(s.out, mask(text)) }
