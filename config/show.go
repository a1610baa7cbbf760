package config

import "github.com/goccy/go-yaml"

// String returns the configuration as YAML, defaults filled in and every secret as <secret>.
func (c *Config) String() string {
	text, err := yaml.MarshalWithOptions(c, yaml.Indent(2), yaml.UseLiteralStyleIfMultiline(true))
	if err != nil {
		return "configuration cannot be shown"
	}
	return string(text)
}
