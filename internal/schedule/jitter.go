package schedule

import (
	"crypto/sha256"
	"encoding/binary"
	"math/bits"
	"time"
)

// part returns a share of whole, from 0 up to but not including it, that
// depends on the UID alone: evenly spread over UIDs, and the same for one UID
// in every process.
func part(whole time.Duration, uid string) time.Duration {
	if whole <= 0 {
		return 0
	}
	digest := sha256.Sum256([]byte(uid))
	share, _ := bits.Mul64(binary.BigEndian.Uint64(digest[:8]), uint64(whole))
	return time.Duration(share) //nolint:gosec // less than whole
}
