package bolt

import (
	"cmp"
	"context"
	"crypto/rand"
	"slices"

	"github.com/alertrelay/relay/outbox"
)

// giveUp puts into the dead letters what has waited too long for an integration that is configured no more.
func (s *Store) giveUp(ctx context.Context, c outbox.ClaimRequest) error {
	for {
		s.mu.Lock()
		held := s.schedule.Orphans(s.options.Now(), c, maxGroup, rand.Text)
		s.mu.Unlock()
		if len(held) == 0 {
			return nil
		}
		slices.SortFunc(held, func(a, b *outbox.Held[*entry]) int {
			return cmp.Compare(a.Lanes[0].Entries[0].id(), b.Lanes[0].Entries[0].id())
		})
		ends := make([]settlement, len(held))
		for i, h := range held {
			ends[i] = settlement{store: s, nonce: h.Nonce, outcome: outbox.Outcome{
				Result: outbox.Dead, Reason: outbox.ReasonRemoved, Detail: "the integration is configured no more",
			}}
			for _, e := range h.Lanes[0].Entries {
				ends[i].outcome.Items = append(ends[i].outcome.Items, e.id())
			}
		}
		staged, err := s.endAll(ctx, ends)
		if err != nil {
			s.release(held)
			return err
		}
		for _, st := range staged {
			if c.Removed != nil {
				c.Removed(st.held.Lanes[0].Lane.Integration, len(st.held.Lanes[0].Entries))
			}
		}
		s.options.Logger.Warn("Moved what waited for removed integrations to the dead letters",
			"component", "outbox", "groups", len(held), "integration", held[0].Lanes[0].Lane.Integration)
	}
}

// endAll makes several settlements in one change, and returns those made. One whose lease has ended meanwhile is left out.
func (s *Store) endAll(ctx context.Context, ends []settlement) (staged []*settlement, err error) {
	err = s.submit(&change{
		ctx: ctx,
		stage: func(g *group) error {
			for i := range ends {
				if err := ends[i].stage(g); err == nil {
					staged = append(staged, &ends[i])
				}
			}
			return nil
		},
		apply: func(g *group) {
			for _, st := range staged {
				st.apply(g)
			}
		},
		revert: func() {
			for _, st := range staged {
				st.revert()
			}
		},
	})
	if err != nil { // they may still be made
		return nil, err
	}
	return staged, nil
}
