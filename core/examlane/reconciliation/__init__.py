"""Each night: orders, payments and executions of the day before, beside what each peer lists of them."""
