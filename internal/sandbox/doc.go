// Package sandbox emulates the four vendors on loopback: a DingTalk robot, a WeCom group robot, a Slack incoming
// webhook and a mail server, with a page that shows what their readers would see. `relay demo` and the tests use the
// same emulators, so they stay true.
//
// They are built from the vendors' documents and not from our senders, so that the two can disagree: each request is
// judged as strictly as the vendor would (signature, keywords, sizes, rates), in a fixed order. Where the vendor's own
// order is unknown the one here is a choice that no test should depend on.
//
// What was asked and what was delivered are kept apart: Requests has every call with its verdict, Messages only what a
// reader would see. Both keep the newest and forget the oldest. Faults are queued per account and consumed in order.
package sandbox
