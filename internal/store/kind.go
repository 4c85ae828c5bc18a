package store

import (
	"fmt"
	"time"
)

// names are what the API server calls the kinds.
var names = map[Kind]string{
	KindTokenRecord:    "tokenrecords",
	KindAccessToken:    "accesstokens",
	KindNamespace:      "namespaces",
	KindServiceAccount: "serviceaccounts",
	KindKeySecret:      "the key Secret",

	KindTokenRevocation:        "tokenrevocations",
	KindClusterTokenRevocation: "clustertokenrevocations",
}

// String names what is watched, for the log.
func (k Kind) String() string {
	if name, ok := names[k]; ok {
		return name
	}
	return fmt.Sprintf("kind %d", int(k))
}

// Unheard are the kinds that were never heard of.
func (f *Freshness) Unheard() (unheard []Kind) {
	for i := range f.heard {
		if f.heard[i].Load() == 0 {
			unheard = append(unheard, Kind(i))
		}
	}
	return unheard
}

// Quietest is the kind that was silent for longest, and when it was last heard of.
func (f *Freshness) Quietest() (quietest Kind, heard time.Time) {
	oldest := f.heard[0].Load()
	for i := range f.heard {
		if at := f.heard[i].Load(); at < oldest {
			quietest, oldest = Kind(i), at
		}
	}
	return quietest, time.Unix(0, oldest).UTC()
}

// Kinds are all of them.
func Kinds() []Kind {
	all := make([]Kind, kinds)
	for i := range all {
		all[i] = Kind(i)
	}
	return all
}
