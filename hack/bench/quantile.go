package main

import (
	"slices"
	"time"
)

// spread is a sample of durations.
type spread []time.Duration

// quantile is the smallest value that the share q of the sample does not exceed
// (nearest rank); 0 of an empty sample.
func (s spread) quantile(q float64) time.Duration {
	if len(s) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(s))
	rank := int(q * float64(len(sorted)))
	if float64(rank) < q*float64(len(sorted)) {
		rank++
	}
	return sorted[max(rank, 1)-1]
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
