package deliver

// Backoff is backoff.
var Backoff = backoff

// Merge is merge.
var Merge = merge
