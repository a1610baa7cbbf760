package relay_test

import (
	"testing"

	"github.com/prometheus/alertmanager/template"
	"github.com/stretchr/testify/require"

	"github.com/alertrelay/relay"
)

func TestWhomADeliveryConcerns(t *testing.T) {
	t.Parallel()
	owned := func(name string) func(*relay.Alert) bool {
		return func(a *relay.Alert) bool { return a.Labels["owner"] == name }
	}
	alice := relay.Person{Name: "alice", Mobile: "13800000000", SlackID: "U01"}
	bob := relay.Person{Name: "bob", Email: "bob@example.org"}
	people := relay.People{{Person: alice, Match: owned("alice")}, {Person: bob}}
	off := false
	tests := []struct {
		name    string
		mention relay.Mention
		alerts  relay.Alerts
		want    []relay.Person
	}{
		{"nobody", relay.Mention{}, relay.Alerts{firing("owner", "carol")}, nil},
		{"named by the configuration", relay.Mention{People: []string{"bob"}}, relay.Alerts{resolved("a", "b")}, only(bob)},
		{"whose alert it is", relay.Mention{}, relay.Alerts{firing("owner", "alice")}, only(alice)},
		{"whose alert it was", relay.Mention{}, relay.Alerts{resolved("owner", "alice")}, nil},
		{"no matching", relay.Mention{Matching: &off}, relay.Alerts{firing("owner", "alice")}, nil},
		{
			"named by a label, each once",
			relay.Mention{Labels: []string{"oncall"}},
			relay.Alerts{firing("oncall", "bob, U01"), firing("oncall", "13800000000；BOB")},
			[]relay.Person{bob, alice},
		},
		{"a resolved alert names nobody", relay.Mention{Labels: []string{"oncall"}}, relay.Alerts{resolved("oncall", "bob")}, nil},
		{
			"a stranger with a number or an address",
			relay.Mention{Labels: []string{"oncall"}},
			relay.Alerts{firing("oncall", "+8613900000000 x@example.org")},
			[]relay.Person{{Mobile: "+8613900000000"}, {Email: "x@example.org"}},
		},
		{
			"nothing else",
			relay.Mention{Labels: []string{"oncall"}},
			relay.Alerts{firing("oncall", "@all all <!channel> <@U02> here 12345 Bob<bob@example.org> a@b,c@"), firing("x", "bob")},
			[]relay.Person{{Email: "a@b"}},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			concerned, err := people.Concerned(tt.mention)
			require.NoError(t, err)
			annotated := relay.Alerts{}
			for _, a := range tt.alerts {
				a.Annotations, a.Labels = a.Labels, template.KV{"owner": a.Labels["owner"]}
				annotated = append(annotated, a)
			}
			for _, alerts := range []relay.Alerts{tt.alerts, annotated} {
				n := &relay.Notification{Alerts: alerts}
				require.Equal(t, tt.want, concerned(&relay.Delivery{Tellings: []relay.Telling{{Notification: n}}}))
			}
		})
	}
}

func TestUnknownPeople(t *testing.T) {
	t.Parallel()
	_, err := relay.People(nil).Concerned(relay.Mention{People: []string{"alice", "bob"}})
	require.EqualError(t, err, "people: has no \"alice\"\npeople: has no \"bob\"")
}

func firing(label, value string) relay.Alert   { return alertIn(relay.StatusFiring, label, value) }
func resolved(label, value string) relay.Alert { return alertIn(relay.StatusResolved, label, value) }

func alertIn(status, label, value string) relay.Alert {
	return relay.Alert{Alert: template.Alert{Status: status, Labels: template.KV{label: value}}}
}

func only(p relay.Person) []relay.Person { return []relay.Person{p} }
