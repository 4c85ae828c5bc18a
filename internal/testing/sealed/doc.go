// Package sealed makes tokens with sealed records for tests of what verifies
// them, as the manager does: with one key, for one cluster. It creates no object.
package sealed
