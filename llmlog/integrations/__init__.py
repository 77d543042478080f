"""What llmlog is to other libraries: one module for each, the only place where that library is imported.

They are named by their dotted path (`llmlog.integrations.structlog`), and none is imported before that; each
names the extra to install where its library is missing.
"""
