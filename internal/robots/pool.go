package robots

import (
	"errors"
	"fmt"
	"slices"

	"github.com/alertrelay/relay"
	"github.com/alertrelay/relay/internal/fault"
	"github.com/alertrelay/relay/internal/secret"
)

// A Pool is the robots of one group: at least one, each with a limiter of its own.
type Pool[R interface{ Limiter() relay.LimiterID }] []R

// UnmarshalYAML reads a robot of a pool: its webhook URL alone into link, or its keys into robot.
func UnmarshalYAML(unmarshal func(any) error, link *secret.String, robot any) error {
	var form any
	if err := unmarshal(&form); err != nil {
		return err
	}
	if _, ok := form.(string); ok {
		return unmarshal(link)
	}
	return unmarshal(robot)
}

// OpenPool makes the pool of urls, the robots as they stand under that key, by open. Its error names the keys at fault.
func OpenPool[C any, R interface{ Limiter() relay.LimiterID }](urls []C, open func(C) (R, error)) (Pool[R], error) {
	var pool Pool[R]
	var errs []error
	first := map[relay.LimiterID]int{}
	for n, c := range urls {
		r, err := open(c)
		if err == nil {
			if other, taken := first[r.Limiter()]; taken {
				err = fmt.Errorf("the same robot as urls[%d]", other)
			}
		}
		if err != nil {
			errs = append(errs, fault.At(fmt.Sprintf("urls[%d]", n), err))
			continue
		}
		first[r.Limiter()] = n
		pool = append(pool, r)
	}
	return pool, errors.Join(errs...)
}

// With is the robot with the limiter, or the first.
func (p Pool[R]) With(limiter relay.LimiterID) R {
	n := slices.IndexFunc(p, func(r R) bool { return r.Limiter() == limiter })
	return p[max(0, n)]
}

// Limiters are those of the robots, in their order.
func (p Pool[R]) Limiters() []relay.LimiterID {
	ids := make([]relay.LimiterID, len(p))
	for n, r := range p {
		ids[n] = r.Limiter()
	}
	return ids
}
