package schedule

import "time"

// notices are given that long before a token ends, the earliest first. Their
// names are the values of status.expiryNotice.
var notices = []struct {
	name  string
	ahead time.Duration
}{
	{"30d", 30 * 24 * time.Hour},
	{"7d", 7 * 24 * time.Hour},
	{"1d", 24 * time.Hour},
}

// Notice returns the tightest notice of its coming end that is due at now for a
// token that lives from issuedAt to end: 30d, 7d, 1d, or empty for none; and
// when the next one is due, if more is true. There is none for a token that is
// rotated before its end (dueOK and due), none once it has ended, and none
// that would come in the first half of the token's life.
func Notice(now, issuedAt, end, due time.Time, dueOK bool) (reached string, next time.Time, more bool) {
	if dueOK && due.Before(end) || !now.Before(end) {
		return "", time.Time{}, false
	}
	for _, notice := range notices {
		if notice.ahead >= end.Sub(issuedAt)/2 {
			continue
		}
		at := end.Add(-notice.ahead)
		if now.Before(at) {
			return reached, at, true
		}
		reached = notice.name
	}
	return reached, time.Time{}, false
}
