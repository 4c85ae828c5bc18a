package lifecycle

import (
	"time"

	"github.com/accesstoken-dev/accesstoken-operator/api/v1alpha1"
)

// coarseness is how far the status of an AccessToken may lag behind its records in
// what follows from use. Records are written for each token in use every few
// minutes; the status is not to be written as often.
const coarseness = time.Hour

// lastUsedAt is the last use of any token that is or was published, in steps of
// the coarseness. It never goes back, also when the token that was used is gone.
func (s State) lastUsedAt() v1alpha1.Timestamp {
	known := s.Token.Status.LastUsedAt
	var latest time.Time
	for _, r := range s.Records {
		at, err := r.Object.Status.LastUsedAt.Parse()
		if err == nil && r.Void == nil && s.Published[r.Object.Name] {
			latest = later(latest, at)
		}
	}
	if latest.After(s.Now) {
		latest = s.Now
	}
	shown, err := known.Parse()
	if err != nil || shown.After(s.Now.Add(coarseness)) {
		known, shown = "", time.Time{} // none yet, or written by somebody else
	}
	if latest.IsZero() || latest.Before(shown.Add(coarseness)) {
		return known
	}
	return v1alpha1.NewTimestamp(latest)
}

// shownEnd is the end of a token as the status shows it, which has shown known so
// far. It follows each use only when it is off by more than an hour, or a quarter
// of the time after which the token ends unused; it is never later than the end.
func (s State) shownEnd(r Record, end time.Time, known v1alpha1.Timestamp) v1alpha1.Timestamp {
	idle, sliding := r.idle()
	shown, err := known.Parse()
	if sliding && err == nil && r.verifies(s.Now) && shown.After(s.Now) && !shown.After(end) && end.Sub(shown) <= min(coarseness, idle/4) {
		return known
	}
	return v1alpha1.NewTimestamp(end)
}

// knownEnd is the end of a token that the status shows so far.
func (s State) knownEnd(id string) v1alpha1.Timestamp {
	for _, token := range s.Token.Status.Tokens {
		if token.ID == id {
			return token.ExpiresAt
		}
	}
	return ""
}
