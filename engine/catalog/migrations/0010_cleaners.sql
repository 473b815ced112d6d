-- The few jobs that want a storage's repository for themselves alone: see find_claimable.
CREATE INDEX slots_cleaning ON slots (resource) WHERE resource >= 'cleaning:' AND resource < 'cleaning~';
