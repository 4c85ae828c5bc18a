package verify

import (
	"iter"
	"strings"
	"unique"
)

// separator stands between the items of a List. No item may hold one: see
// NewList.
const separator = "\x00"

// List is a list of texts, kept once however many tokens have the same. The zero
// List is an absent one; a List is never empty otherwise.
type List struct{ joined unique.Handle[string] }

// NewList makes a List. It reports false for an item that could be taken for
// two, or for none.
func NewList[T ~string](items []T) (List, bool) {
	if len(items) == 0 {
		return List{}, true
	}
	var joined strings.Builder
	for i, item := range items {
		if item == "" || strings.Contains(string(item), separator) {
			return List{}, false
		}
		if i > 0 {
			joined.WriteString(separator)
		}
		joined.WriteString(string(item))
	}
	return List{joined: unique.Make(joined.String())}, true
}

// Absent says that there is no list.
func (l List) Absent() bool { return l.joined == (unique.Handle[string]{}) }

// All yields the items in order. It does not allocate.
func (l List) All() iter.Seq[string] {
	return func(yield func(string) bool) {
		if l.Absent() {
			return
		}
		for rest, more := l.joined.Value(), true; more; {
			var item string
			item, rest, more = strings.Cut(rest, separator)
			if !yield(item) {
				return
			}
		}
	}
}

// Items returns the items; nil for an absent list.
func (l List) Items() []string {
	if l.Absent() {
		return nil
	}
	return strings.Split(l.joined.Value(), separator)
}

// Contains says that an item is in the list. It does not allocate.
func (l List) Contains(wanted string) bool {
	if l.Absent() {
		return false
	}
	for rest, more := l.joined.Value(), true; more; {
		var item string
		item, rest, more = strings.Cut(rest, separator)
		if item == wanted {
			return true
		}
	}
	return false
}
