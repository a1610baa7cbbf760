package deliver

import "time"

// The schedule of retries.
const (
	firstBackoff = time.Second
	maxBackoff   = 5 * time.Minute
)

// backoff is how long to wait after the given attempt, counted from 1, has failed: full jitter over 1 s, 2 s, 4 s … up to
// 5 min. random is in [0, 1).
func backoff(attempt int, random float64) time.Duration {
	ceiling := maxBackoff
	if shift := max(0, attempt-1); shift < 9 { // 2⁹ s is more than 5 min
		ceiling = min(maxBackoff, firstBackoff<<shift)
	}
	return time.Duration(random * float64(ceiling))
}
