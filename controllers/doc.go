// Package controllers registers every controller of the manager, and owns how
// the manager's cache and client are made so that the controllers can rely on
// them. What a controller does is in its own package.
package controllers
