package config

import (
	"net"
	"regexp"
	"strconv"
	"time"

	promconfig "github.com/prometheus/common/config"
	"github.com/prometheus/common/model"

	"github.com/alertrelay/relay/internal/fault"
	"github.com/alertrelay/relay/internal/secret"
)

// Redis is where several replicas share what they store, or applications and the relay their snapshots.
type Redis struct {
	// Addresses are one server, several nodes of a cluster, or with MasterName the Sentinels.
	Addresses    []string      `yaml:"addresses"`
	MasterName   string        `yaml:"master_name,omitempty"`
	Username     string        `yaml:"username,omitempty"`
	Password     secret.String `yaml:"password,omitempty"`
	PasswordFile secret.File   `yaml:"password_file,omitempty"`
	// SentinelPassword is what the Sentinels ask for themselves.
	SentinelPassword     secret.String         `yaml:"sentinel_password,omitempty"`
	SentinelPasswordFile secret.File           `yaml:"sentinel_password_file,omitempty"`
	TLSConfig            *promconfig.TLSConfig `yaml:"tls_config,omitempty"`
	// Namespace begins every key, so that several relays may share one Redis.
	Namespace string `yaml:"namespace"`
	// MinAcks is how many replicas of Redis must have a write before it counts.
	MinAcks int `yaml:"min_acks"`
	// Timeout bounds each call, the replicas that MinAcks asks for included; DialTimeout each new connection.
	Timeout     model.Duration `yaml:"timeout"`
	DialTimeout model.Duration `yaml:"dial_timeout"`
	// AllowEviction accepts a Redis that throws keys away when its memory is full.
	AllowEviction bool `yaml:"allow_eviction,omitempty"`
}

// Defaults and bounds of the keys of storage.redis.
const (
	DefaultNamespace        = "relay"
	DefaultRedisTimeout     = 2 * time.Second
	DefaultRedisDialTimeout = time.Second
	// MaxRedisTimeout is what a webhook waits for the store: a longer one would never be heard of.
	MaxRedisTimeout = 3 * time.Second
)

// redisDefaults has the methods of Redis but for UnmarshalYAML.
type redisDefaults Redis

// UnmarshalYAML fills in the defaults before it reads the section.
func (r *Redis) UnmarshalYAML(unmarshal func(any) error) error {
	*r = Redis{
		Namespace: DefaultNamespace,
		Timeout:   model.Duration(DefaultRedisTimeout), DialTimeout: model.Duration(DefaultRedisDialTimeout),
	}
	return unmarshal((*redisDefaults)(r))
}

func (s *Storage) validate(f *fault.List) {
	if s.Redis != nil {
		s.Redis.validate(f.In("redis"))
	}
}

// namespaces are those that need no escape in a key, nor in a shell.
var namespaces = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,64}$`)

func (r *Redis) validate(f *fault.List) {
	if len(r.Addresses) == 0 {
		f.In("addresses").Addf("is required")
	}
	for i, address := range r.Addresses {
		if !isAddress(address) {
			f.In("addresses").Item(i).Addf("host:port is expected, such as redis.example.org:6379")
		}
	}
	if !r.Password.IsZero() && r.PasswordFile != "" {
		f.Addf("at most one of password & password_file must be configured")
	}
	if !r.SentinelPassword.IsZero() && r.SentinelPasswordFile != "" {
		f.Addf("at most one of sentinel_password & sentinel_password_file must be configured")
	}
	if r.MasterName == "" && (!r.SentinelPassword.IsZero() || r.SentinelPasswordFile != "") {
		f.Addf("a password for Sentinel needs a master_name")
	}
	if r.TLSConfig != nil {
		if _, err := promconfig.NewTLSConfig(r.TLSConfig); err != nil { // which reads the files
			f.In("tls_config").Addf("%s", err)
		}
	}
	if !namespaces.MatchString(r.Namespace) {
		f.In("namespace").Addf("up to 64 letters, digits, - _ and . are expected")
	}
	if r.MinAcks < 0 {
		f.In("min_acks").Addf("must be 0 or more")
	}
	positive(f.In("dial_timeout"), r.DialTimeout)
	positive(f.In("timeout"), r.Timeout)
	if time.Duration(r.Timeout) >= MaxRedisTimeout {
		f.In("timeout").Addf("must be below %s: a webhook waits no longer for the store", MaxRedisTimeout)
	}
}

func isAddress(text string) bool {
	host, port, err := net.SplitHostPort(text)
	n, errPort := strconv.ParseUint(port, 10, 16)
	return err == nil && errPort == nil && host != "" && n > 0
}
