"""Who a patient is: records that are one person, what becomes known of him, and who belongs to him."""
