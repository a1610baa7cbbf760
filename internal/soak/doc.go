// Package soak proves that nothing is lost. Its system test runs the real program between a scripted pair of
// Alertmanagers and four faulty vendors, kills it again and again in the middle of the load, and then reads two logs:
// what was posted and how it was answered, and what the readers of each destination saw.
//
// Check compares the two. It shares nothing with the program under test: every alert carries a Mark in its summary, and
// Check reads the marks back from the delivered texts, whatever template, merging, digest or split they went through. So
// it counts facts and not messages.
//
// What it promises to find: a fact that was accepted and not shown, a telling out of order, a telling of something never
// accepted, a repetition that neither a kill nor a lost answer explains, a window with more sends than its limit allows,
// and an answer that is wrong about a duplicate.
package soak
