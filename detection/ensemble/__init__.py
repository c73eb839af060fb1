"""Several models as one: their detections stored, merged and measured, and which of them to take (section 4.2 of the
survey).
"""
