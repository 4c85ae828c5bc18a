// Package leadership knows under which term this process leads the managers: who
// holds their Lease, and how often it changed hands. A manager writes its term on
// each record that it creates, and admission policy refuses one that is not the
// Lease's: so a manager that was stopped for a while, and does not know yet that
// another one leads, issues nothing. It elects nobody; client-go does.
package leadership
