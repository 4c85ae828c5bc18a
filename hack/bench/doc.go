// Command bench measures the operator on a real control plane: how fast it
// issues, how exactly it keeps due moments, how fast it verifies, how soon what
// ends is refused, and what it costs. `make bench` runs it.
//
// Machines differ and are busy, so most figures stand beside a floor that is
// measured in the same run against the same API server: a plain client, 32 in
// parallel, that makes the very same requests and nothing else. It acts under
// the accounts that the operator's run has, so that admission costs both the
// same, and it runs before and after the operator while no manager runs. CPU
// time and ratios are steadier than seconds: judge by them.
//
// Nothing that is slow fails the run. What is wrong does: a token that does not
// verify, one issued before its due moment, two published for one due moment,
// and requests per token after a restart.
//
// Each measurement has a file of its own, named for it, and a control plane of
// its own. Requests are counted in the API server's audit log, which names the
// account of each; CPU time and memory come from /proc, and are left out where
// there is none.
package main
