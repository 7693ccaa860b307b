"""What stands behind each row of the table: a visit and what is asked, to what is answered."""
