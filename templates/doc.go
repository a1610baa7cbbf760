// Package templates holds every word a human reads: the default texts for each channel in Chinese and English, and the
// renderer that compiles them and a team's own.
//
// It stands at the end of the path: an integration asks it for compiled templates when the configuration is loaded, and
// executes them when a delivery is rendered. Alertmanager's template data, functions and default templates keep their
// names and meaning, so that templates written for Alertmanager run unchanged.
//
// It promises that a template is compiled once per configuration and source text, never per message; that rendering is
// a pure function of the view, and bounded in time, output and depth; that no template reads the environment, a file or
// the network; and that values from outside never run as a template.
package templates
