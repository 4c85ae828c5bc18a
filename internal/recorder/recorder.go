package recorder

import (
	"fmt"
	"unicode/utf8"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/events"
)

// MostNote is how many bytes the note of an event may have. The API server refuses
// a longer one, and client-go logs all of an event that was refused.
const MostNote = 1024

// ellipsis ends a note that was cut.
const ellipsis = "…"

// Cut wraps a recorder so that notes are cut to MostNote bytes, in whole characters.
func Cut(wrapped events.EventRecorder) events.EventRecorder { return cutting{wrapped} }

type cutting struct{ events.EventRecorder }

// Eventf implements events.EventRecorder.
func (c cutting) Eventf(regarding, related runtime.Object, eventType, reason, action, note string, args ...any) {
	c.EventRecorder.Eventf(regarding, related, eventType, reason, action, "%s", cut(fmt.Sprintf(note, args...)))
}

func cut(note string) string {
	if len(note) <= MostNote {
		return note
	}
	end := MostNote - len(ellipsis)
	for end > 0 && !utf8.RuneStart(note[end]) {
		end--
	}
	return note[:end] + ellipsis
}
